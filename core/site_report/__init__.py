"""The site report: named facts of a site, written for the office; and the support bundle."""
