"""Search hyperparameters for image classification by transfer learning from VGG16.

The sub-packages are links to the top-level folders of the project.
"""
