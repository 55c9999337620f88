"""What a wire format means."""
