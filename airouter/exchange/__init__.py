"""One client request as the owner of everything taken for it, and the waiting that belongs to it."""
