"""The explorer: a page that runs a network in the browser and shows its state after each iteration."""
