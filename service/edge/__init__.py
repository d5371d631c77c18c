"""What stands between the network and the doors: connections, sizes, certificates, headers, and what stays inside."""
