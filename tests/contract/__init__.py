"""What every store that can stand behind a seam must do, on the real ones."""
