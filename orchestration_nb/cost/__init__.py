"""What calls cost: the most that one can cost, budgets, the exact cache, list prices."""
