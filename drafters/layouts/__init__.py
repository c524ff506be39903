"""One reader per published drafter layout, recognised from config.json (`drafters.layouts.known` lists them)."""
