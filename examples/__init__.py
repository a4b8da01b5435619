"""How other systems use Inventory, in programs that run."""
