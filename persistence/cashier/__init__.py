"""The cashier: deposits, withdrawals and corrections, and how the wallet does what they come to."""
