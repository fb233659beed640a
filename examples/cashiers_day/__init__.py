"""A cashier's day: deposits, withdrawals, chargebacks and corrections, told twice, late and against each
other.

``python -m examples.cashiers_day`` writes it; service.demo plays it.
"""
