"""Training of the learned tier: checks its data, trains, measures on origins that were not trained
on, writes `data/model/`."""
