"""What scores a picture, behind small protocols."""
