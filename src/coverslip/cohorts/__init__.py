"""Cohorts: data sets that coverslip knows by name, painted ones among them."""
