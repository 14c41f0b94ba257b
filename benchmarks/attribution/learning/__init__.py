"""What work costs on a device, learned on line from its windows.

A study, which the tracker does not use yet:

    progress, prompts, pace    when a request's tokens were computed, told or expected
    rows                       windows put together into observations
    law, prior, fit, noise     P = idle + g(F + own work), fitted recursively
    model                      the weights of a window, and how well they are known
    learner                    one device: takes windows and requests, gives shares
    interval                   how far a request's energy may be off

Pure: no clock, no I/O.
"""
