"""The experiments and fiddlers that come with the package; their parts are the base of own experiments."""
