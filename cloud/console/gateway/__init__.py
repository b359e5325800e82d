"""One box: what is wrong with it, what it holds, its clock, its disk, its buses, what it lost."""
