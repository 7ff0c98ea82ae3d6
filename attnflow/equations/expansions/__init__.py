"""What an attention becomes as the bandwidth shrinks, by automatic differentiation."""
