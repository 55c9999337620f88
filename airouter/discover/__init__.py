"""Finding model servers on this machine, and the configuration that is written for them."""
