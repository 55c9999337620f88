"""What a wire format means. Pure: bytes and state in, requests and verdicts out."""
