"""The machine under a process: TensorFlow's start-up, devices, hosts, shares, clocks, memory."""
