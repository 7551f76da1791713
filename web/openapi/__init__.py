"""The OpenAPI document of a table of routes, and the page that shows it."""
