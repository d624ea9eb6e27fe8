"""What is done to an example: crops, geometry, colour, erasing, mixing; recipes and their draws."""
