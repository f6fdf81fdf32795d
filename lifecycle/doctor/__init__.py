"""What is wrong with an installation and a workspace, and what to mend; changes nothing."""
