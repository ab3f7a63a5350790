from contexten.cli import app

app()
