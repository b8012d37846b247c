"""What all commands share: flags, messages, progress, exit statuses."""
