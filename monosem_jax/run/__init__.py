"""What every stage needs: loop, checkpoints, metrics, folders, stamps."""
