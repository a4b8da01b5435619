"""What every service stands on, each part by itself and on a real server in this process."""
