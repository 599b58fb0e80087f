"""What every page of mlkit is made of: safe markup, plots without a script, and the shell around them."""
