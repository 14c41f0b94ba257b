"""What requests that are batched together use on a real GPU, beside what their receipts say."""
