"""Who may call the service over HTTP, and what each caller may do."""
