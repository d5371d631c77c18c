"""The data of the Explorer page: search of items and users, histories, and slates with their reasons."""
