"""The tables that papers are known for, as data, and the command that trains and judges them."""
