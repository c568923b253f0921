"""The Open Inference client, the pose contract of served models, and pose estimation over both."""
