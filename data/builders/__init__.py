"""What makes the files of `data/`: questions, tickets, orders and pairs, each from a seed and nothing else."""
