"""The explorer: a page on which a network runs in the browser and shows the states that it passes through."""
