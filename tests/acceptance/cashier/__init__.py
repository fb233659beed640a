"""Deposits, withdrawals and corrections as a payment service and the house's people meet them."""
