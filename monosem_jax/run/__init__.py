"""What every stage needs: graph, training, checkpoints, metrics."""
