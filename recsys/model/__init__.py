"""The models that training and serving share: the feature spec, the towers, the features and the ranker."""
