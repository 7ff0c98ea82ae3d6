"""How far the lives of an attention are apart."""
