"""What both roles need of the web: errors, databases, migrations, health, logs, requests."""
