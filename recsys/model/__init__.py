"""The models of training and serving: feature spec, towers and their encoders, ranker features and ranker."""
