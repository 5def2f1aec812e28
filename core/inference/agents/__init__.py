"""What is done about an event: named flows of steps."""
