"""OST pools."""
