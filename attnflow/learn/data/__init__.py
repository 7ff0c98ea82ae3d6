"""What is learned from: plain arrays with a split, one file per data set; a draw is a function of one key."""
