"""The service's database: SQLite in the data folder, or PostgreSQL by URL. Times in it are UTC."""
