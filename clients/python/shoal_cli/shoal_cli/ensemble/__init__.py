"""The services of one machine: started, watched and ended as one."""
