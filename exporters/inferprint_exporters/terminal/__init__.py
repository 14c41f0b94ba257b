"""``inferprint top``: devices, models, requests and the balance, live in the terminal."""
