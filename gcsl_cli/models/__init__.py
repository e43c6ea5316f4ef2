"""Loading, converting and exporting models; prompts to tokens."""
