"""What work costs on a device, learned on line from its windows.

    hearing                    what requests tell, in the order of time, for all devices
    progress, prompts, pace    when a request's tokens were computed, told or expected
    rows                       windows put together into observations
    law, prior, fit, noise     P = idle + g(F + own work), fitted recursively
    model                      the weights of a window, and how well they are known
    learner                    one device: takes windows and requests, gives shares
    hold                       evens out the sensor's noise

Pure: no clock, no I/O.
"""
