"""The words that every package shares. Nothing here imports torch, mlflow or another package of ours."""
