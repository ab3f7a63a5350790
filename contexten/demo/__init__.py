"""The demo: two small repositories, three signed events, and a check of everything that has to come of them."""
