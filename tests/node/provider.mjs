// Filled by the real provider.
