"""The main job, shown: days of orders sold through a stack, measured and proved."""
